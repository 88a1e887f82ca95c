"""What the scripts in `conversions/` share: their options, and errors of one line."""

import argparse
import importlib
import sys


def conversion_parser(description: str, tokenizer: str | None = None) -> argparse.ArgumentParser:
    """
    The options that every script has.

    Args:
        description (`str`): The script's docstring.
        tokenizer (`str`, *optional*): Whose tokenizer is needed; none if not given.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True, metavar="FILE", help="the official file")
    if tokenizer:
        parser.add_argument("--tokenizer", required=True, help=f"folder or Hub id of {tokenizer}")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="the folder to write")
    return parser


def run_conversion(family: str, arguments: argparse.Namespace) -> None:
    """
    Converts, and ends the program with one line if that fails.

    Args:
        family (`str`): Which converter of `afm_hf.conversion`.
        arguments (`argparse.Namespace`): Those of its `convert`, by name.
    """
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        folder = importlib.import_module(f"{__package__}.{family}").convert(**vars(arguments))
    except (OSError, ValueError) as error:  # ConversionError is a ValueError
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("Interrupted; nothing was written.")
    print(f"{folder}: ready for from_pretrained and pipeline")


__all__ = ["conversion_parser", "run_conversion"]
