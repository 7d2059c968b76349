"""One run: what is asked, the settings that win, records in, results out, and the journal between."""
