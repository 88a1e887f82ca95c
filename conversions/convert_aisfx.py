"""Converts the encoder of aiSFX, trained on libraries of sound effects, into a folder for `from_pretrained`.

Example:
    python conversions/convert_aisfx.py --checkpoint aisfx-0.1.2-py2.py3-none-any.whl --output aisfx
"""

import sys

try:
    from afm_hf.conversion.script import conversion_parser, run_conversion
except ModuleNotFoundError as error:
    sys.exit(f"error: {error.name} is not installed: `pip install afm-hf`, or `make env` and then `.venv/bin/python`.")


def main() -> None:
    parser = conversion_parser(__doc__)
    run_conversion("aisfx", parser.parse_args())


if __name__ == "__main__":
    main()
