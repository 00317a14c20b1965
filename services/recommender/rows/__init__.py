"""From what is asked for to a row: candidates, filters, ranking, diversity, rules, explanations."""
