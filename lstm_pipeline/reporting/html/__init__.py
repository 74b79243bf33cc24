"""The HTML report of a version: one file that needs no network, for whoever has to trust a forecast or to mend it.

`collecting` gathers the facts as plain frozen dataclasses and knows no HTML; `rendering` turns facts into a page and
reads no files of a project. Templates, styles and the script that draws the charts lie beside them and are put into
the page. jinja2 has its home here.
"""

from lstm_pipeline.reporting.html.collecting import ReportOptions, collect
from lstm_pipeline.reporting.html.rendering import render

__all__ = ["ReportOptions", "collect", "render"]
