# Handles in place of data frames: what the functions for claims read of them.

# The rows of a handle that a step needs, as a data frame; data frames are left
# as they are. table: name of its schema, whose columns are read (NULL: all
# columns); codes: list(column = codes), the only ones to read.
claims_rows <- function(x, table = NULL, id = NULL, codes = list()) {
  if (!is_source_table(x)) return(x)
  names <- if (!is.null(table)) {
    known <- claims_schema(table)$column
    c(id, setdiff(known, "person_id"))
  }
  codes <- codes[lengths(codes) > 0L]
  # What a finished table is made of cannot be asked for by its new names.
  if (!is.null(x$finish)) return(read_source_table(x))
  codes <- codes[names(codes) %in% names(x$columns)]
  plan <- if (length(codes)) column_plan(x)
  conditions <- lapply(names(codes), function(name) {
    check_codes(codes[[name]], name)
    code_condition(x, plan[match(name, plan$name), ], codes[[name]])
  })
  read_source_table(x, names, unlist(conditions))
}
