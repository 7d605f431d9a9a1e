// Gradio calls this with `element`, `trigger`, `props` and `upload`. A pointer that moves less than this is a click.
const STILL = 6;
const stage = element.querySelector(".stage");
const photo = stage.querySelector("img");
const band = stage.querySelector(".band");
const input = stage.querySelector("input");
let down = null;

const within = (value) => Math.min(Math.max(value, 0), 1);

/** Where a pointer is, in fractions of the photo's width and height. */
function place(event) {
  const frame = photo.getBoundingClientRect();
  return [within((event.clientX - frame.left) / frame.width), within((event.clientY - frame.top) / frame.height)];
}

function moved(event) {
  return Math.max(Math.abs(event.clientX - down.x), Math.abs(event.clientY - down.y)) >= STILL;
}

function drawBand(start, end) {
  const [width, height] = [photo.offsetWidth, photo.offsetHeight];
  band.style.display = "block";
  band.style.left = `${photo.offsetLeft + Math.min(start[0], end[0]) * width}px`;
  band.style.top = `${photo.offsetTop + Math.min(start[1], end[1]) * height}px`;
  band.style.width = `${Math.abs(end[0] - start[0]) * width}px`;
  band.style.height = `${Math.abs(end[1] - start[1]) * height}px`;
}

photo.addEventListener("pointerdown", (event) => {
  if (event.button === 1 || !event.isPrimary) return;
  event.preventDefault();
  photo.setPointerCapture(event.pointerId);
  down = { at: place(event), x: event.clientX, y: event.clientY, secondary: event.button === 2 || event.ctrlKey };
});
photo.addEventListener("pointermove", (event) => {
  if (down && moved(event)) drawBand(down.at, place(event));
});
photo.addEventListener("pointerup", (event) => {
  if (!down) return;
  const end = moved(event) ? place(event) : down.at;
  trigger("prompt", { start: down.at, end, secondary: down.secondary });
  down = null;
  band.style.display = "none";
});
photo.addEventListener("pointercancel", () => {
  down = null;
  band.style.display = "none";
});
photo.addEventListener("contextmenu", (event) => event.preventDefault());

async function open(file) {
  if (!file) return;
  try {
    const { path } = await upload(file);
    trigger("photo", { uploaded: path });
  } catch {
    trigger("refused", { size: file.size });
  }
}

input.addEventListener("change", () => {
  open(input.files[0]);
  input.value = "";
});
stage.querySelector("label").addEventListener("keydown", (event) => {
  if (event.key === "Enter" || event.key === " ") input.click();
});
stage.addEventListener("dragover", (event) => {
  event.preventDefault();
  stage.classList.add("dropping");
});
stage.addEventListener("dragleave", () => stage.classList.remove("dropping"));
stage.addEventListener("drop", (event) => {
  event.preventDefault();
  stage.classList.remove("dropping");
  open(event.dataTransfer.files[0]);
});
