"""Drug names and codes: the RxNorm dictionary and the few names, codes and brands it lacks. See SOURCE.md."""
