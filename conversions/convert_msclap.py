r"""Converts an official msclap checkpoint (CLAP 2022, CLAP 2023 or CLAPCAP) into a folder for `from_pretrained`.

Example:
    python conversions/convert_msclap.py --checkpoint CLAP_weights_2023.pth --variant 2023 --tokenizer gpt2 \
        --output clap-2023
"""

import sys

try:
    from afm_hf.conversion.script import conversion_parser, run_conversion
except ModuleNotFoundError as error:
    sys.exit(f"error: {error.name} is not installed: `pip install afm-hf`, or `make env` and then `.venv/bin/python`.")


def main() -> None:
    parser = conversion_parser(__doc__, "GPT-2's tokenizer, gpt2 (2023, clapcap), or BERT's, bert-base-uncased (2022)")
    parser.add_argument("--variant", choices=("2022", "2023", "clapcap"), help="told by the file's keys if not given")
    run_conversion("msclap", parser.parse_args())


if __name__ == "__main__":
    main()
