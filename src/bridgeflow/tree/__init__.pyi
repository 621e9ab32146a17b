from .containers import is_container as is_container
from .keys import Keys as Keys
from .keys import parse_key as parse_key
from .keys import parse_keys as parse_keys
from .keys import place as place
from .nodes import ABSENT as ABSENT
from .nodes import Beside as Beside
from .nodes import Only as Only
from .recipe import Recipe as Recipe
from .recipe import compile_recipe as compile_recipe
from .recipe import leaves_of as leaves_of
from .recipe import map_leaves as map_leaves
from .recipe import open_tables as open_tables

__all__ = [
    "ABSENT",
    "Beside",
    "Keys",
    "Only",
    "Recipe",
    "compile_recipe",
    "is_container",
    "leaves_of",
    "map_leaves",
    "open_tables",
    "parse_key",
    "parse_keys",
    "place",
]
