"""Heuristics: functions of a curve that name a rate, or say why they cannot."""
