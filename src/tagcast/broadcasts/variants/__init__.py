"""Variants of a broadcast: other contents for segments, for an A/B split, or by a bandit that learns.

Owns: broadcast_choice; the sets `broadcast:<id>:variant:<name>`, `…:explored` and `…:drawn:<draw>`.
"""

from tagcast.broadcasts.variants.dealing import by_variant, deal, facts, forget, members_key, variant_of
from tagcast.broadcasts.variants.learning import Result, knows, results
from tagcast.broadcasts.variants.section import Section, agree, check, key_of, name_of, of
from tagcast.broadcasts.variants.store import drop_chunks
from tagcast.broadcasts.variants.views import Draw, Share, View, view

__all__ = [
    "Draw",
    "Result",
    "Section",
    "Share",
    "View",
    "agree",
    "by_variant",
    "check",
    "deal",
    "drop_chunks",
    "facts",
    "forget",
    "key_of",
    "knows",
    "members_key",
    "name_of",
    "of",
    "results",
    "variant_of",
    "view",
]
