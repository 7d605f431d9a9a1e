"""Clicks on photos in a browser: `python -m hqsam_lightning.demo model=RUN`."""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from omegaconf import DictConfig

from hqsam_lightning.cli import clean_errors, run_hydra
from hqsam_lightning.config import conf_dir
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.escaping import escape_markdown
from hqsam_lightning.inference.configured import configured_model
from hqsam_lightning.inference.device import device_of
from hqsam_lightning.interactive.actions import Actions, Limits
from hqsam_lightning.interactive.photos import example_photos
from hqsam_lightning.interactive.segmenter import Segmenter
from hqsam_lightning.schema import check_config

if TYPE_CHECKING:
    import gradio as gr

log = logging.getLogger(__name__)

FOLDER_VARIABLE = "GRADIO_TEMP_DIR"
NO_PROXY = "no_proxy"
THIS_MACHINE = "localhost,127.0.0.1,::1"


def demo(config: DictConfig) -> None:
    """Serves the page until a signal ends the command.

    Args:
        config: composed from conf/demo.yaml.

    Raises:
        HQSamError: Gradio is not installed, the model cannot be loaded, or the port is taken.
    """
    with served(config) as address:
        print(f"demo on {address}; Ctrl-C ends it", flush=True)
        threading.Event().wait()


@contextmanager
def served(config: DictConfig) -> Iterator[str]:
    """Serves the page inside the block.

    Args:
        config: see `demo`.

    Yields:
        Address of the page.

    Raises:
        HQSamError: see `demo`.
    """
    if find_spec("gradio") is None:
        raise ConfigError("demo: expected the package gradio, found none; pip install 'hqsam-lightning[demo]'")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    _warn_of_others(config.host)
    model = configured_model(config, device=device_of(config.device), precision=config.precision)
    if model.is_plain_sam:
        log.info("%s is plain SAM: the page shows its masks beside the photo; a trained head adds HQ-SAM", config.model)
    limits = Limits(config.limits.upload_megabytes, config.limits.photo_megapixels)
    with _own_folder() as folder, _without_proxy():
        # Gradio reads the folder when it is imported
        from hqsam_lightning.interactive.page import build_page

        margin = config.margin if config.frame == "box" else None
        actions = Actions(Segmenter(model, config.limits.embeddings, margin), example_photos(), folder, limits)
        page = build_page(actions, escape_markdown(Path(str(config.model)).name), config.limits.waiting)
        try:
            yield _launch(page, config)
        finally:
            page.close(verbose=False)


def _launch(page: gr.Blocks, config: DictConfig) -> str:
    """Starts the server in a thread of its own.

    Returns:
        Its address.
    """
    from starlette.middleware import Middleware

    from hqsam_lightning.interactive.body_limit import BodyLimit

    try:
        upload_bytes = config.limits.upload_megabytes * 10**6
        _, address, _ = page.launch(
            server_name=config.host,
            server_port=config.port,
            max_file_size=upload_bytes,
            app_kwargs={"middleware": [Middleware(BodyLimit, upload_bytes=upload_bytes)]},
            state_session_capacity=config.limits.sessions,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            inline=False,
            ssr_mode=False,
            mcp_server=False,
            pwa=False,
            run_history=False,
            enable_monitoring=False,
            footer_links=[],
            # Gradio would take a page that a busy machine needs more than 3 s for as one that cannot be reached
            _frontend=False,
        )
    except OSError as cause:
        raise ConfigError(
            f"host, port: expected an address of this machine and a free port, got {config.host}, {config.port}: "
            f"{cause}; choose another port"
        ) from cause
    return address


@contextmanager
def _own_folder() -> Iterator[Path]:
    """A folder for uploads and for files of the page, which is removed at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="hqsam_demo_", ignore_cleanup_errors=True) as folder,
        _environment(FOLDER_VARIABLE, folder),
    ):
        yield Path(folder)


@contextmanager
def _without_proxy() -> Iterator[None]:
    """Lets Gradio reach its own page where the environment names a proxy for all others."""
    others = os.environ.get(NO_PROXY) or os.environ.get(NO_PROXY.upper())
    with _environment(NO_PROXY, f"{others},{THIS_MACHINE}" if others else THIS_MACHINE):
        yield


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def _warn_of_others(host: str) -> None:
    """Says so when other machines can use the page."""
    if host != "localhost" and not ip_address(host).is_loopback:
        log.warning("host=%s: everyone who can reach this machine can use the page, which asks for no password", host)


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="demo")
@clean_errors
def main(config: DictConfig) -> None:
    """Entry point of the command line."""
    demo(check_config(config, "demo"))


if __name__ == "__main__":
    run_hydra(main, "demo")
