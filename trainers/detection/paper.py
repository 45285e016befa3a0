"""The paper's average precisions (%) for detection, shown beside ours."""

TABLE_2 = {
    "Baseline": (78.93, 29.52),
    "1": (79.02, 29.64),
    "2": (79.13, 30.72),
    "3": (79.02, 30.80),
    "4": (79.34, 31.25),
    "5": (79.61, 31.96),
    "6": (79.53, 32.22),
}
"""The ablation on VOC 2007 test, person: AP at IoU 0.5 and 0.8 of each column."""

SWITCHES = ("Ann. Cleanup", "Dropout", "Blending", "1 : 1 Ratio", "Discriminator")
"""Rows of table 2; column k has the first k - 1 of them on."""

TABLE_3 = {
    "Baseline": (81.9, 95.3, 92.0, 87.3, 86.5, 96.8, 88.9, 80.5, 92.3, 88.9, 58.6, 86.3),
    "Cut-Paste-Learn": (88.5, 95.5, 94.1, 88.1, 90.3, 97.2, 91.8, 80.1, 94.0, 92.2, 65.4, 88.8),
    "Ours": (86.9, 95.9, 93.9, 90.2, 90.0, 96.6, 92.0, 87.6, 94.9, 90.9, 69.2, 89.8),
}
"""GMU Kitchen: AP of each class in the order of GMU_CLASSES, then their mean."""

GMU_CLASSES: tuple[tuple[str, ...], ...] = (
    ("coca_cola",),
    ("coffee_mate",),
    ("honey_bunches",),
    ("hunts",),
    ("mahatma",),
    ("nature_v1", "nature_valley_soft"),
    ("nature_v2", "nature_valley_sweet"),
    ("palmolive",),
    ("pop_secret",),
    ("pringles",),
    ("red_bull",),
)
"""Columns of table 3: prefixes of each class's name in BigBIRD and in Cut-Paste-Learn."""

TABLE_4 = {
    "Baseline": {"0.5": 78.93, "0.6": 69.61, "0.7": 52.97, "0.8": 29.54},
    "Cut-Paste-Learn": {"0.5": 76.65, "0.6": 66.88, "0.7": 52.12, "0.8": 28.82},
    "Context-DA": {"0.5": 76.81, "0.6": 66.91, "0.7": 50.21, "0.8": 28.14},
    "Ours, no D": {"0.5": 79.61, "0.6": 70.39, "0.7": 53.71, "0.8": 31.96},
    "Ours + D": {"0.5": 79.53, "0.6": 70.67, "0.7": 54.50, "0.8": 32.22},
}
"""VOC 2007 test, person, at each IoU."""
