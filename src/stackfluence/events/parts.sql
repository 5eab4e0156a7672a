-- name: list_parts
-- The columns and indexes that tables have.
select
    table as table_name,
    name
from system.columns
where database = currentDatabase()
union all
select
    table as table_name,
    name
from system.data_skipping_indices
where database = currentDatabase();
