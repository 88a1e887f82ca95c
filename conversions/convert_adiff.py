"""Converts an official ADIFF checkpoint into a folder for `from_pretrained`.

Example:
    python conversions/convert_adiff.py --checkpoint adiff_base.ckpt --tokenizer gpt2 --output adiff
"""

import sys

try:
    from afm_hf.conversion.script import conversion_parser, run_conversion
except ModuleNotFoundError as error:
    sys.exit(f"error: {error.name} is not installed: `pip install afm-hf`, or `make env` and then `.venv/bin/python`.")


def main() -> None:
    parser = conversion_parser(__doc__, "GPT-2's tokenizer, gpt2")
    run_conversion("adiff", parser.parse_args())


if __name__ == "__main__":
    main()
