"""How good answers are on labelled rows: measures, intervals, and whether one model is better than another."""
