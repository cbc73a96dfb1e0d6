"""Model sets: the files that belong together, and what each of them is."""
