r"""Converts an official Pengi checkpoint (base or base_no_text_enc) into a folder for `from_pretrained`.

Copies of the two files with swapped names exist: the variant is told by the keys, not by the name.

Example:
    python conversions/convert_pengi.py --checkpoint base.pth --tokenizer gpt2 \
        --text-encoder-tokenizer openai/clip-vit-base-patch16 --output pengi
"""

import sys

try:
    from afm_hf.conversion.script import conversion_parser, run_conversion
except ModuleNotFoundError as error:
    sys.exit(f"error: {error.name} is not installed: `pip install afm-hf`, or `make env` and then `.venv/bin/python`.")


def main() -> None:
    parser = conversion_parser(__doc__, "GPT-2's tokenizer, gpt2")
    parser.add_argument("--variant", choices=("base", "base_no_text_enc"), help="told by the file's keys if not given")
    parser.add_argument(
        "--text-encoder-tokenizer", help="folder or Hub id of CLIP's tokenizer, openai/clip-vit-base-patch16 (base)"
    )
    run_conversion("pengi", parser.parse_args())


if __name__ == "__main__":
    main()
