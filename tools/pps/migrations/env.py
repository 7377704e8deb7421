"""Run by Alembic: `db.Database.migrate` hands it the connection."""

from alembic import context

from tools.pps.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
context.run_migrations()
