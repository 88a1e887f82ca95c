"""Converts an official Mellow checkpoint into a folder for `from_pretrained`.

Example:
    python conversions/convert_mellow.py --checkpoint v0.ckpt --tokenizer HuggingFaceTB/SmolLM2-135M --output mellow
"""

import sys

try:
    from afm_hf.conversion.script import conversion_parser, run_conversion
except ModuleNotFoundError as error:
    sys.exit(f"error: {error.name} is not installed: `pip install afm-hf`, or `make env` and then `.venv/bin/python`.")


def main() -> None:
    parser = conversion_parser(__doc__, "SmolLM2's tokenizer, HuggingFaceTB/SmolLM2-135M")
    run_conversion("mellow", parser.parse_args())


if __name__ == "__main__":
    main()
