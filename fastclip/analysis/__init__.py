"""From a sweep's rows and items to findings: curves, peaks, links, and sentences about them."""
