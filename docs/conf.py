"""Sphinx configuration: builds without network, and with warnings as errors."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import generate
import howto
import outputs
import pictures
from docutils import nodes
from sphinx.ext.autosummary import autosummary_table

from neuroarrays import __version__

generate.write()
pictures.write()
howto.write()

project = "neuroarrays"
author = "neuroarrays developers"
copyright = author
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
templates_path = ["_templates"]
smartquotes_action = (
    "De"  # dashes and dots; quotes stay as they are, for lists of values that one copies
)
add_module_names = False  # the title of a page has the name that users say
#: Pages of the reference: what they are called where that is not their place, and which have a picture.
autosummary_context = {"titles": generate.titles(), "drawn": pictures.EXAMPLES}
# Parts that other pages include, and the worked example, are no pages of their own.
exclude_patterns = ["_build", "_generated/*.md", "howto", "jupyter_execute", "examples"]
html_theme = "furo"
html_title = f"neuroarrays {version}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_js_files = ["wide.js"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

nb_execution_mode = "cache"
nb_execution_cache_path = str(Path(__file__).parent / "_build" / ".jupyter_cache")
nb_execution_raise_on_error = True
# Code about recordings that are not there is shown, and not run; the page says so.
nb_execution_excludepatterns = [] if generate.RECORDINGS.is_dir() else ["recordings.md"]
nb_execution_timeout = 120

napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_param = False  # parameters that are described together stay together
autodoc_typehints = "none"
autodoc_member_order = "bysource"


def setup(app):
    """Show what the code of pages gives; pages of howto/ have it already, notebooks run by themselves."""

    def show_outputs(app, name, content):
        if "/" not in name and "file_format: mystnb" not in content[0]:
            content[0] = outputs.with_outputs(content[0], name)

    def say_public_names(app, doctree):
        """In lists of the reference, call each function as users call it."""
        for listing in doctree.findall(autosummary_table):
            for name in listing.findall(nodes.literal):
                text = name.astext()
                shown = generate.titles().get(text, text.replace("neuroarrays.", "na.", 1))
                name.children = [nodes.Text(shown)]

    app.connect("source-read", show_outputs)
    app.connect("doctree-read", say_public_names)
