"""Floor 1: curves and what is read from them. numpy and scipy only, never torch."""
