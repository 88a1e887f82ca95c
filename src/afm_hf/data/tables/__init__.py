"""Tables in every form that people have them in: rows, the lists in their cells, what the columns of one's own mean."""

from .rows import TableRow, header, read_rows
from .text_files import read_lines, read_text

__all__ = ["TableRow", "header", "read_lines", "read_rows", "read_text"]
