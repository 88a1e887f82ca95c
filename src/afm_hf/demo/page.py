"""The page itself: style, what is said to visitors, and the server, which talks to the visitor's browser alone."""

import functools
import html
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported, which would call home

try:
    import gradio as gr
except ImportError as error:
    raise ImportError(
        "The web page needs gradio 6 (the extra `demo`): run `pip install 'gradio>=6.31,<7' matplotlib`."
    ) from error

from ..hub.bundled import STANDS_FOR
from .clips import licence_line, message_for_visitors
from .guards import ANY, BusyInWords, OwnNameOnly, OwnServerOnly, names_of_this_machine
from .models import DemoModels
from .tabs import Run, adaptation_tab, answers_tab, classify_tab, difference_tab, quality_tab

TITLE = "afm-hf: audio foundation models"
INTRODUCTION = """# Listen with a model
Upload a clip or record one, and ask. The models run on the machine that serves this page: a clip goes there and
nowhere else, and is deleted there after about an hour."""
LIMITS = """**The small models that come with afm-hf are for trying things out.** They know everyday sounds in English
words, and are often wrong: `clap-small` names 62 % of 110 held-out clips among 50 labels; `pengi-small` 45 % and
`mellow-small` 41 % in a caption. Their quality scores are no measure of quality. A high score does not mean that an
answer is right. The official checkpoints are better."""
SYSTEM_FONT = ("system-ui", "sans-serif")
SYSTEM_MONO = ("ui-monospace", "monospace")
STYLE = """
.gradio-container {width: 100% !important; max-width: 1060px !important; margin: auto}
:focus-visible {outline: 3px solid #2563a8 !important; outline-offset: 2px}
.small {font-size: 0.85rem; color: var(--body-text-color); overflow-wrap: anywhere}
.picture img {padding-top: 2rem}
"""
WAITING = 32  # jobs at most
ERROR_S = 20.0  # a message is there long enough to be read, and then goes away by itself
logger = logging.getLogger(__name__)


def build_page(models: DemoModels) -> gr.Blocks:
    """
    The page, not yet served.

    Args:
        models ([`DemoModels`]): What answers.

    Raises:
        ImportError: gradio is not installed.
    """
    names = {"CLAP": models.clap, "captions": models.caption, "questions": models.ask, "differences": models.difference}
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.Markdown(INTRODUCTION)
        if STANDS_FOR.keys() & set(names.values()):
            gr.Markdown(LIMITS)
        for tab in (classify_tab, answers_tab, difference_tab, quality_tab, adaptation_tab):
            tab(models, runner(models))
        used = "; ".join(f"{task}: {name}" for task, name in names.items())
        gr.HTML(html.escape(f"Models: {used}. {licence_line()}"), elem_classes="small")
    return page


def serve(
    page: gr.Blocks,
    host: str | None = "127.0.0.1",
    port: int | None = 7860,
    share: bool = False,
    block: bool = True,
    hosts: Sequence[str] = (),
) -> str:
    """
    Serves the page until it is interrupted.

    Args:
        page: Of [`build_page`].
        host (`str`, *optional*, defaults to `"127.0.0.1"`):
            Address to listen on; `None` takes that of the environment, as a Space gives it.
        port (`int`, *optional*, defaults to 7860): Port; `None` takes a free one.
        share (`bool`, *optional*, defaults to `False`): Open it to the world through a server of gradio's makers.
        block (`bool`, *optional*, defaults to `True`): Wait until it is interrupted.
        hosts (`Sequence[str]`, *optional*):
            Further names under which the page may be asked for, as behind a proxy; `"*"` for all. Addresses in numbers
            and the names of this machine always may. Shared, and in a Space, all may.

    Returns:
        The address of the page.

    Raises:
        OSError: the port is taken.
    """
    from starlette.middleware import Middleware

    where = os.environ.get("GRADIO_SERVER_NAME") if host is None else host
    open_to_all = share or bool(os.environ.get("SPACE_ID"))
    proxies = frozenset([ANY] if open_to_all else (name.lower() for name in hosts))
    own_names = Middleware(OwnNameOnly, own=names_of_this_machine(where), proxies=proxies)
    guards = [own_names, Middleware(BusyInWords, waiting=WAITING)]
    served = page.queue(default_concurrency_limit=1, max_size=WAITING).launch(
        server_name=host,
        server_port=port,
        share=share,
        quiet=True,
        prevent_thread_lock=True,
        show_error=True,
        max_file_size="100mb",
        ssr_mode=False,
        footer_links=[],
        theme=gr.themes.Default(primary_hue="blue", font=SYSTEM_FONT, font_mono=SYSTEM_MONO),
        css=STYLE,
        app_kwargs={"middleware": guards if share else [Middleware(OwnServerOnly), *guards]},
    )
    if block:
        page.block_thread()
    return str(served[1])


def runner(models: DemoModels) -> Run:
    """Makes a function of this package into one for a button: the models are put in, errors are told to visitors."""

    def run(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def guarded(*inputs: Any) -> Any:
            try:
                return function(models, *inputs)
            except ValueError as error:
                raise _shown(error) from None
            except (OSError, ImportError) as error:
                logger.error("%s: %s", function.__name__, error)
                raise _shown(error) from None
            except Exception as error:
                logger.exception("%s failed", function.__name__)
                unexpected = RuntimeError(
                    f"Something unexpected went wrong ({type(error).__name__}); the log says more."
                )
                raise _shown(unexpected) from None

        del guarded.__wrapped__  # gradio counts the arguments of what it can see
        return guarded

    return run


def _shown(error: Exception) -> gr.Error:
    """As gradio shows it; the text may hold the name of a file, which could be HTML."""
    text = html.escape(message_for_visitors(error), quote=False)
    return gr.Error(text, duration=ERROR_S, print_exception=False)
