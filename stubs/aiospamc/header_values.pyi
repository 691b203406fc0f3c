class SpamValue:
    value: bool
    score: float
    threshold: float
