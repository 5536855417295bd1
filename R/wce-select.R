# Another fit of the grid of one call of wce().

#' Another fit of the grid
#'
#' A call of [wce()] with several `nknots` or `cutoff` fits them all and returns
#' the one that the criterion prefers. `refit()` returns another one, without
#' estimating anything again.
#'
#' @param object A fitted model, from [wce()] with a grid.
#' @param nknots The number of interior knots wanted: one of
#'   `object$selection$nknots` (with several exposure terms a string such as
#'   `"1+2"`). Left out, it is that of `object`.
#' @param cutoff The cutoff wanted: one of `object$selection$cutoff` (with
#'   several exposure terms a string such as `"90+30"`). Left out, it is that of
#'   `object`.
#' @param ... Not used.
#' @return An object of class `wce`, as if [wce()] had been called with this
#'   `nknots` and `cutoff` alone, but with the `selection` table of the whole
#'   grid, whose column `selected` marks the fit that is returned.
#' @section Errors: `vigitensor_error_not_in_grid` when there is no such fit.
#' @export
#' @examples
#' fit <- wce(
#'   Surv(entry, exit, event) ~ sex + age + exposure("drug_a"),
#'   data = claims_people[1:200, ], id = person_id,
#'   records = claims_dispensings, cutoff = c(60, 90), nknots = 1:2,
#'   constrained = "right", engine = "reference"
#' )
#' fit$selection
#' refit(fit, 2)
#' refit(fit, nknots = 1, cutoff = 90)
refit <- function(object, ...) UseMethod("refit")

#' @rdname refit
#' @export
#' @rawNamespace S3method(generics::refit,wce)
refit.wce <- function(object, nknots, cutoff, ...) {
  selection <- object$selection
  this <- which(selection$selected)[1L]
  if (missing(nknots)) nknots <- selection$nknots[this]
  rows <- grid_rows(selection, "nknots", nknots)
  if (!is.null(selection$cutoff)) {
    if (missing(cutoff)) cutoff <- selection$cutoff[this]
    rows <- intersect(rows, grid_rows(selection, "cutoff", cutoff))
  }
  select_fit(object, rows[1L])
}

# Rows of the selection table with one value of a column.
grid_rows <- function(selection, name, value) {
  # With several terms a value reads "1+2": one number per term.
  fitted <- selection[[name]]
  ok <- is.atomic(value) && length(value) == 1L
  rows <- if (ok) which(as.character(fitted) == as.character(value))
  if (length(rows)) return(rows)
  abort_input(
    sprintf("`%s` must be one of those that were fitted.", name),
    x = sprintf("Fitted: %s.", format_list(unique(fitted))),
    i = sprintf("Call `wce()` again with the wanted `%s`.", name),
    code = "not_in_grid", arg = name
  )
}

# Rows that differ from the fit in hand by their number of knots alone.
same_cutoff <- function(selection) {
  if (is.null(selection$cutoff)) return(seq_len(nrow(selection)))
  which(selection$cutoff == selection$cutoff[selection$selected])
}
