"""A sweep's rows and items in other programs' formats."""
