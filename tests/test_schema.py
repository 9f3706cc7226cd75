"""The config's schema documents exactly the settings that the steps accept."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_type_hints

import pytest
import yaml

from brainflix.models.glm_settings import GlmSettings
from brainflix.models.mlp import MlpSettings
from brainflix.models.ridge import RidgeSettings
from brainflix.steps.align import AlignSettings
from brainflix.steps.caption import CaptionSettings
from brainflix.steps.describe import DescribeSettings
from brainflix.steps.evaluate import EvaluateSettings
from brainflix.steps.gallery import GallerySettings
from brainflix.steps.generate import GenerateSettings
from brainflix.steps.pretrain import PretrainSettings
from brainflix.steps.summarize import SummarizeSettings

ROOT = Path(__file__).parents[1]
SCHEMA = yaml.safe_load((ROOT / "workflow" / "schemas" / "config.schema.yaml").read_text())
SECTIONS = {
    "glm": GlmSettings,
    "pretrain": PretrainSettings,
    "align": AlignSettings,
    "ridge": RidgeSettings,
    "mlp": MlpSettings,
    "caption": CaptionSettings,
    "describe": DescribeSettings,
    "generate": GenerateSettings,
    "evaluate": EvaluateSettings,
    "summarize": SummarizeSettings,
    "gallery": GallerySettings,
}


def check_same_keys(schema, settings):
    names = {f.name for f in fields(settings)}
    assert set(schema["properties"]) == set(schema["required"]) == names
    assert schema["additionalProperties"] is False
    for name, kind in get_type_hints(settings).items():
        if is_dataclass(kind):
            check_same_keys(schema["properties"][name], kind)


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_of_the_schema_has_the_keys_of_its_settings(section):
    check_same_keys(SCHEMA["$defs"][section], SECTIONS[section])


def test_every_key_is_described():
    silent = []

    def walk(node, path):
        for name, value in node.get("properties", {}).items():
            if not isinstance(value, dict) or "$ref" in value:
                continue
            if "description" not in value:
                silent.append(f"{path}.{name}")
            walk(value, f"{path}.{name}")

    walk(SCHEMA, "config")
    for name, section in SCHEMA["$defs"].items():
        walk(section, name)
    assert not silent
