"""The settings of Sphinx for the documentation site, which `make docs` builds."""

import re
from pathlib import Path

project = "airflow-provider-batchlinux"
author = "the authors of airflow-provider-batchlinux"
copyright = author

_found = re.search(r"^## \[?([\w.]+)", Path("changelog.md").read_text(encoding="utf-8"), re.MULTILINE)
release = _found[1] if _found else ""

extensions = ["myst_parser"]
exclude_patterns = ["conf.py"]
nitpicky = True
# Options begin with two hyphens, and code is quoted as it is.
smartquotes = False
# The reader links words such as `mapping` in types; only what is ours is described here.
nitpick_ignore_regex = [("py:class", r"(?!airflow_provider_batchlinux).*"), ("py:exc", r".*")]
myst_heading_anchors = 4

html_theme = "furo"
html_title = "Linux on Azure Batch for Airflow"
html_theme_options = {"navigation_with_keys": True}
html_copy_source = False
html_show_sphinx = False
python_maximum_signature_line_length = 100
