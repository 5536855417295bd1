# The same dispensings under several rules, side by side.

#' Exposure under several rules, side by side
#'
#' Runs [exposure_episodes()] once per variant, for a table of what the rules
#' make of the same dispensings: a sensitivity analysis before any outcome is
#' looked at.
#'
#' @param dispensings Data frame, as for [exposure_episodes()].
#' @param variants Named list of lists: the arguments in which each variant
#'   differs from `...`. A data frame is a grid: one variant per row, with the
#'   arguments as columns, as made by [expand.grid()].
#' @param ... Arguments of [exposure_episodes()] that all variants share.
#' @param keep `TRUE`: keep the records of all variants.
#' @param min_cell Counts of people below this are `NA`, with the days of that
#'   line.
#' @return A data frame of class `episode_variants` with one row per variant and
#'   drug: `variant`, `drug`, `people`, `records`, `spells`, `exposed_days`
#'   (a day counts once, however many records cover it), `dose` (mean dose per
#'   exposed day), `relative_days` (against the first variant). Attribute
#'   `records`: a named list, if `keep`.
#' @seealso [exposure_episodes()]
#' @export
#' @examples
#' d <- data.frame(person_id = rep(1:20, each = 3), drug = "a",
#'                 date = rep(c(0, 25, 70), 20), days_supply = 30)
#' episode_variants(d, list(
#'   main = list(), grace = list(grace = 30),
#'   replace = list(overlap = "truncate")
#' ))
#' episode_variants(d, expand.grid(grace = c(0, 15), tail = c(0, 7)))
episode_variants <- function(dispensings, variants, ..., keep = FALSE,
                             min_cell = 10) {
  variants <- variant_list(variants)
  dispensings <- claims_rows(dispensings)
  min_cell <- check_integer(min_cell, "min_cell", 0)
  shared <- rlang::enquos(...)
  made <- lapply(variants, function(one) {
    arguments <- utils::modifyList(as.list(shared), one, keep.null = TRUE)
    call <- rlang::call2(exposure_episodes, quote(dispensings), !!!arguments)
    records <- rlang::eval_tidy(call)
    list(totals = episode_totals(records), records = if (keep) records)
  })
  rows <- Map(function(name, one) cbind(variant = name, one$totals),
              names(variants), made)
  table <- do.call(rbind, rows)
  first <- table[table$variant == names(variants)[1L], ]
  table$relative_days <- table$exposed_days /
    first$exposed_days[match(table$drug, first$drug)]
  small <- table$people > 0 & table$people < min_cell
  table[small, setdiff(names(table), c("variant", "drug"))] <- NA
  rownames(table) <- NULL
  structure(table, class = c("episode_variants", "data.frame"),
            records = if (keep) lapply(made, `[[`, "records"))
}

variant_list <- function(variants) {
  if (is.data.frame(variants)) {
    columns <- lapply(variants, function(x) {
      if (is.factor(x)) as.character(x) else x
    })
    rows <- lapply(seq_len(nrow(variants)), function(i) {
      lapply(columns, `[[`, i)
    })
    names(rows) <- vapply(rows, function(row) {
      paste(names(row), vapply(row, format, ""), sep = " ", collapse = ", ")
    }, "")
    variants <- rows
  }
  ok <- is.list(variants) && length(variants) > 0L &&
    all(vapply(variants, is.list, NA)) && !is.null(names(variants)) &&
    all(nzchar(names(variants))) && !anyDuplicated(names(variants))
  if (!ok) {
    abort_input(
      "`variants` must be a named list of lists of arguments, or a grid.",
      i = "As list(main = list(), grace = list(grace = 30)).",
      arg = "variants", code = "variants"
    )
  }
  known <- setdiff(names(formals(exposure_episodes)), c("dispensings"))
  unknown <- setdiff(unlist(lapply(variants, names)), known)
  if (length(unknown)) {
    abort_input("`variants` holds arguments that are not known.",
                x = sprintf("Unknown: %s.",
                            paste0("`", unknown, "`", collapse = ", ")),
                i = "See exposure_episodes().", arg = "variants",
                code = "unknown_argument")
  }
  variants
}

# One row per drug.
episode_totals <- function(records) {
  id <- records[[attr(records, "id")]]
  person <- claims_id(new_faults(), id, "id", "records")
  code <- code_people(person)$code
  start <- as.double(records$start)
  stop <- as.double(records$stop)
  drug <- as.character(records$drug)
  drugs <- sort(unique(drug), method = "radix")
  rows <- lapply(drugs, function(one) {
    mine <- which(drug == one)
    now <- union_intervals(code[mine], start[mine], stop[mine])
    days <- sum(now$stop - now$start)
    spells <- unique(data.frame(code[mine], records$spell[mine]))
    data.frame(
      drug = one, people = length(unique(now$code)), records = length(mine),
      spells = nrow(spells), exposed_days = days,
      dose = sum((stop[mine] - start[mine]) * records$dose[mine]) / days
    )
  })
  do.call(rbind, rows)
}

#' @export
print.episode_variants <- function(x, ...) {
  x <- structure(x, class = "data.frame", records = NULL)
  shown <- x
  for (name in c("people", "records", "spells", "exposed_days")) {
    shown[[name]] <- ifelse(is.na(x[[name]]), "-", format_count(x[[name]]))
  }
  for (name in c("dose", "relative_days")) {
    shown[[name]] <- ifelse(is.na(x[[name]]), "-", format_ratio(x[[name]]))
  }
  print.data.frame(shown, row.names = FALSE)
  invisible(x)
}
