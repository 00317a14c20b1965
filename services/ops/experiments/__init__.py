"""What an experiment has come to: impressions and events joined by visitor, rates, lifts, intervals."""
