#!/bin/bash
# Checks and measures the package on one CUDA GPU: bash benchmarks/gpu.sh right|fast|nano FOLDER
# Every step's output and exit status go to FOLDER; a step that fails does not stop the next. PYTHON chooses the
# interpreter, QUICK=1 tries the script on a CPU with small sizes, NANO=OVERRIDES changes the pretraining run.
set -u
part=$1 out=$(mkdir -p "$2" && cd "$2" && pwd) python=${PYTHON:-python3}
cd "$(dirname "$0")/.." && export PYTHONPATH=$PWD/src${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 COLUMNS=160
: "${QUICK:=}"

step() {  # step NAME SECONDS COMMAND...: at most that long
  local name=$1 limit=$2 started=$SECONDS
  shift 2
  timeout "$limit" "$@" >"$out/$part-$name.log" 2>&1
  echo "$name: exit status $?, $((SECONDS - started)) s" | tee -a "$out/$part.status"
}

bench() {  # bench NAME SECONDS OVERRIDES...
  local name=$1 limit=$2
  shift 2
  step "$name" "$limit" "$python" -m benchmarks "$@" ${QUICK:+sam=tiny_random rounds=1 num_points=64} \
    hydra.run.dir="$out/bench-$name"
}

{ nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv || true; "$python" -c \
  "import torch; print('torch', torch.__version__, 'CUDA', torch.version.cuda, 'cores', __import__('os').cpu_count())"; } \
  >"$out/$part-machine.log" 2>&1

case $part in
right)
  step cuda 420 "$python" -m pytest -q -p no:benchmark -n 6 --tb=short --show-capture=no -k "cuda${QUICK:+ and scores}" \
    tests/test_cuda.py tests/test_parity.py tests/sam/test_attention.py tests/heads/test_methods.py &
  # the tests of runs on a CPU, on the GPU
  copy=$(mktemp -d) && cp -r ./* "$copy" && cd "$copy" || exit
  grep -rl trainer=cpu tests | xargs sed -i 's/"trainer=cpu"/"trainer=gpu", "++trainer.deterministic=true"/'
  step runs 420 "$python" -m pytest -q -p no:benchmark -n 10 --tb=short --show-capture=no ${QUICK:+-k test_sam_alone} \
    tests/test_pretrain.py tests/test_precompute.py tests/test_evaluate.py tests/test_rows.py tests/test_benchmark.py \
    tests/training/test_module.py tests/training/test_resume.py tests/training/test_finite.py tests/training/callbacks \
    tests/evaluation tests/heads tests/data/test_cache.py tests/data/test_ignore.py &
  wait
  ;;
fast)
  bench encoder-b 90 'cases=[encoder]' sam=vit_b 'images=[1,4,8]' 'precisions=[bf16]' compiled=true rounds=10
  bench step-b 110 'cases=[step]' sam=vit_b batch_size=4 rounds=10
  bench encoder-h 110 'cases=[encoder]' sam=vit_h 'images=[4,8]' 'precisions=[bf16]' compiled=true rounds=5
  bench variants-b 110 'cases=[variants]' sam=vit_b batch_size=4 'variants=[8]' precision=bf16 rounds=10
  bench loader 60 'cases=[loader]' 'workers=[1,4,8,16]' batch_size=4 rounds=1 photos="${PHOTOS:-null}"
  bench encoder-l 80 'cases=[encoder]' sam=vit_l 'images=[1,4,8]' 'precisions=[bf16]' compiled=true rounds=5
  bench float32-b 50 'cases=[encoder,inference]' sam=vit_b 'images=[4]' 'precisions=[fp32]' batch_size=4 rounds=5
  ;;
nano)
  step train 560 "$python" -m hqsam_lightning.pretrain trainer=gpu loader.num_workers=16 ${NANO:-} \
    hydra.run.dir="$out/nano" ${QUICK:+sam=tiny_random trainer.max_steps=2 data.train_size=20 data.val_size=2}
  ;;
esac
