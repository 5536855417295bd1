# A progress bar for work that takes more than two seconds.

# total: number of steps; label: what is being done, like "Bootstrap"; show:
# TRUE, FALSE or NULL (option `vigitensor.progress`, else interactive sessions
# alone). Value: list(step = function(n), done = function()); done() must be
# called, on.exit() is the place.
progress_bar <- function(total, label, show = NULL) {
  nothing <- list(step = function(n) invisible(), done = function() invisible())
  if (!shows_progress(show) || total < 1) return(nothing)
  began <- proc.time()[["elapsed"]]
  # The bar belongs to this frame, which the two functions keep.
  bar <- new.env(parent = emptyenv())
  bar$id <- NULL
  bar$now <- 0
  frame <- environment()
  list(
    step = function(n) {
      bar$now <- bar$now + n
      late <- proc.time()[["elapsed"]] - began > 2
      if (is.null(bar$id) && late && bar$now < total) {
        bar$id <- cli::cli_progress_bar(
          label, total = total, clear = TRUE, .auto_close = FALSE,
          .envir = frame, format = paste(
            "{cli::pb_name}{cli::pb_bar} {cli::pb_current} of",
            "{cli::pb_total} | {cli::pb_eta_str}"
          )
        )
      }
      if (!is.null(bar$id)) {
        cli::cli_progress_update(set = bar$now, id = bar$id, force = TRUE,
                                 .envir = frame)
      }
      invisible()
    },
    done = function() {
      if (!is.null(bar$id)) cli::cli_progress_done(bar$id, .envir = frame)
      bar$id <- NULL
      invisible()
    }
  )
}

shows_progress <- function(show) {
  show <- show %||% getOption("vigitensor.progress")
  if (is.null(show)) {
    return(interactive() && !identical(Sys.getenv("TESTTHAT"), "true"))
  }
  if (!rlang::is_bool(show)) {
    abort_input("`progress` must be TRUE, FALSE or NULL.",
                i = "So must be option `vigitensor.progress`.",
                arg = "progress", code = "progress")
  }
  show
}
