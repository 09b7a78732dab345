"""Why people got the variant that they got, written down when it was decided."""

import sqlalchemy as sa

from tagcast.kit import db

choices = sa.Table(
    "broadcast_choice",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("broadcast", db.Id, primary_key=True, autoincrement=False),
    # A draw is one group of one stage; whom it was for is the set `broadcast:<id>:drawn:<draw>`.
    sa.Column("draw", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("variant", sa.String(60), primary_key=True),
    sa.Column("stage", sa.Integer, nullable=False),
    sa.Column("label", sa.String(200), nullable=False),
    # What was known of the variant: how many were asked and did it, with decay; the chance that it is the best.
    sa.Column("trials", sa.Float, nullable=False),
    sa.Column("successes", sa.Float, nullable=False),
    sa.Column("best", sa.Float, nullable=False),
    # With which each of the draw's people got it; how many did.
    sa.Column("probability", sa.Float, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("explored", sa.Integer, nullable=False),
    sa.Column("seed", sa.String(16), nullable=False),
    sa.Column("at", db.Ms, nullable=False),
)
