"""The shapes of bags, accessories, things for the home and for outdoors."""

from typing import Final

from storefront.demo.catalogue.shapes import Part, both, ellipse, line, mirrored, polygon, rounded

SHAPES: Final[dict[str, tuple[Part, ...]]] = {
    "bag": (
        line((0.34, 0.42), (0.38, 0.20), (0.62, 0.20), (0.66, 0.42), width=0.03),
        mirrored((0.24, 0.40), (0.16, 0.84)),
        rounded(0.24, 0.38, 0.76, 0.45, 0.01, role="trim"),
        rounded(0.46, 0.47, 0.54, 0.54, 0.01, role="light"),
    ),
    "backpack": (
        line((0.42, 0.16), (0.5, 0.09), (0.58, 0.16), width=0.025),
        rounded(0.24, 0.14, 0.76, 0.88, 0.16),
        rounded(0.31, 0.54, 0.69, 0.82, 0.05, role="trim"),
        line((0.30, 0.34), (0.70, 0.34), role="light"),
        *both(rounded(0.19, 0.50, 0.25, 0.78, 0.02, role="trim")),
    ),
    "watch": (
        rounded(0.40, 0.06, 0.60, 0.94, 0.03),
        ellipse(0.28, 0.28, 0.72, 0.72, role="trim"),
        ellipse(0.32, 0.32, 0.68, 0.68, role="light"),
        line((0.5, 0.5), (0.5, 0.36), role="dark"),
        line((0.5, 0.5), (0.60, 0.54), role="dark"),
    ),
    "glasses": (
        *both(ellipse(0.10, 0.38, 0.46, 0.66)),
        *both(ellipse(0.15, 0.43, 0.41, 0.61, role="dark")),
        line((0.44, 0.48), (0.56, 0.48), width=0.03),
        *both(line((0.12, 0.46), (0.04, 0.40), width=0.025)),
    ),
    "lamp": (
        ellipse(0.32, 0.84, 0.68, 0.92, role="trim"),
        line((0.5, 0.46), (0.5, 0.88), width=0.03),
        mirrored((0.37, 0.12), (0.20, 0.50)),
        ellipse(0.20, 0.465, 0.80, 0.535, role="light"),
    ),
    "vase": (
        mirrored((0.40, 0.12), (0.42, 0.28), (0.26, 0.52), (0.30, 0.76), (0.38, 0.90)),
        ellipse(0.40, 0.09, 0.60, 0.15, role="dark"),
    ),
    "cushion": (
        polygon(
            (0.14, 0.16),
            (0.5, 0.21),
            (0.86, 0.16),
            (0.81, 0.5),
            (0.86, 0.84),
            (0.5, 0.79),
            (0.14, 0.84),
            (0.19, 0.5),
        ),
        *both(ellipse(0.12, 0.14, 0.17, 0.19, role="trim")),
        *both(ellipse(0.12, 0.81, 0.17, 0.86, role="trim")),
    ),
    "mug": (
        ellipse(0.56, 0.34, 0.86, 0.70, role="trim"),
        ellipse(0.62, 0.41, 0.79, 0.63, role="light"),
        rounded(0.20, 0.24, 0.68, 0.82, 0.05),
        ellipse(0.20, 0.20, 0.68, 0.30, role="dark"),
    ),
    "chair": (
        *both(line((0.28, 0.60), (0.24, 0.92), width=0.035)),
        *both(line((0.36, 0.60), (0.37, 0.86), width=0.03)),
        rounded(0.27, 0.10, 0.73, 0.50, 0.06),
        rounded(0.22, 0.52, 0.78, 0.64, 0.04, role="trim"),
    ),
    "rug": (
        polygon((0.10, 0.30), (0.90, 0.30), (0.96, 0.74), (0.04, 0.74)),
        line((0.16, 0.35), (0.84, 0.35), (0.89, 0.69), (0.11, 0.69), (0.16, 0.35), role="light"),
        *(line((0.04 + i * 0.092, 0.74), (0.04 + i * 0.092, 0.79), width=0.01) for i in range(11)),
    ),
    "clock": (
        ellipse(0.14, 0.14, 0.86, 0.86),
        ellipse(0.21, 0.21, 0.79, 0.79, role="light"),
        line((0.5, 0.5), (0.5, 0.29), role="dark", width=0.02),
        line((0.5, 0.5), (0.65, 0.57), role="dark", width=0.02),
    ),
    "plant pot": (
        *(
            polygon((0.5, 0.52), (x, y), (x + 0.10, y + 0.03), role="leaf")
            for x, y in ((0.16, 0.22), (0.36, 0.10), (0.58, 0.10), (0.76, 0.24))
        ),
        mirrored((0.26, 0.50), (0.34, 0.90)),
        rounded(0.23, 0.46, 0.77, 0.56, 0.02, role="trim"),
    ),
    "bottle": (
        rounded(0.43, 0.06, 0.57, 0.18, 0.02, role="dark"),
        mirrored((0.44, 0.17), (0.44, 0.26), (0.34, 0.36), (0.34, 0.90)),
        rounded(0.34, 0.50, 0.66, 0.70, 0.0, role="light"),
    ),
    "tent": (
        polygon((0.5, 0.18), (0.06, 0.82), (0.94, 0.82)),
        polygon((0.5, 0.30), (0.36, 0.82), (0.64, 0.82), role="dark"),
        polygon((0.5, 0.30), (0.36, 0.82), (0.30, 0.82), role="light"),
        line((0.5, 0.18), (0.5, 0.12), width=0.015),
    ),
    "sleeping bag": (
        rounded(0.26, 0.06, 0.74, 0.94, 0.22),
        ellipse(0.34, 0.10, 0.66, 0.32, role="light"),
        line((0.70, 0.30), (0.70, 0.80), role="trim"),
    ),
    "umbrella": (
        line((0.5, 0.14), (0.5, 0.84), (0.46, 0.90), (0.40, 0.86), width=0.02),
        polygon(
            (0.06, 0.52),
            (0.14, 0.30),
            (0.32, 0.17),
            (0.5, 0.13),
            (0.68, 0.17),
            (0.86, 0.30),
            (0.94, 0.52),
            (0.78, 0.46),
            (0.64, 0.52),
            (0.5, 0.46),
            (0.36, 0.52),
            (0.22, 0.46),
        ),
    ),
}
