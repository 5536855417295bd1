# Fits from a store: the engine goes over the blocks on a thread of its own, and
# R asks how far it is.

# design: of store_design(); tables, inequalities: as in wce_fit_impl(), whose
# value this has, with penalised fits described; robust: should `var` be the
# robust variance? score_test: with what score tests need, `at_zero`?
store_fit <- function(design, tables, ties, engine, control = list(),
                      inequalities = NULL, penalties = NULL, progress = NULL,
                      robust = FALSE, score_test = FALSE) {
  check_store_engine(engine)
  place <- design$store
  if (place$resumed) {
    rlang::inform("Going on with a fit that was begun before.",
                  class = "vigitensor_message_resumed")
  }
  control <- unclass(control)
  begun <- do.call(engine_call, c(list(
    "fit_store", path = place$path, n_blocks = place$n_blocks,
    n_terms = length(design$terms), n_cov = ncol(design$rows$x),
    designs = tables, ties = ties, control = control,
    key = rlang::hash(list(place$key, tables, inequalities, penalties, ties,
                           control)),
    inequalities = if (!all(vapply(inequalities, is.null, NA))) inequalities,
    penalties = if (!all(vapply(penalties, is.null, NA))) penalties,
    robust = if (!robust) "no" else
      if (is.null(design$cluster$label)) "subjects" else "groups",
    score_test = score_test
  ), option_memory()), quote = TRUE)
  result <- watch_fit(begun$number, place$n_blocks, progress)
  engine_call("design_end", path = place$path)
  result$fits <- lapply(seq_along(result$fits), function(k) {
    fit <- tidy_fit(result$fits[[k]])
    sandwich_fit(describe_smoothing(fit, penalties[[k]]))
  })
  result
}

check_store_engine <- function(engine) {
  if (engine == "cpu") return(invisible())
  abort_input("A store is fitted by engine \"cpu\".",
              x = sprintf("`engine` is \"%s\".", engine),
              i = "Use `engine = \"cpu\"`.", arg = "engine", code = "engine")
}

# Waits for a fit; Ctrl-C ends it before the next block.
watch_fit <- function(number, n_blocks, progress) {
  on.exit(engine_call("fit_stop", number = number)) # does nothing at its end
  bar <- pass_bar(n_blocks, progress)
  on.exit(bar$done(), add = TRUE)
  wait <- 0.02
  repeat {
    found <- engine_call("fit_progress", number = number, wait = wait)
    if (found$done) return(found$result)
    bar$at(found$pass, found$block)
    wait <- min(2 * wait, 0.25)
  }
}

# A line on the pass over the data, after two seconds (tests do not wait).
pass_bar <- function(n_blocks, progress,
                     seconds = getOption("vigitensor.progress_after", 2)) {
  nothing <- list(at = function(...) invisible(),
                  done = function() invisible())
  if (!shows_progress(progress)) return(nothing)
  began <- proc.time()[["elapsed"]]
  frame <- environment()
  bar <- new.env(parent = emptyenv())
  list(
    at = function(pass, block) {
      if (proc.time()[["elapsed"]] - began < seconds) return(invisible())
      if (is.null(bar$id)) {
        bar$id <- cli::cli_progress_bar(
          "Fit", total = n_blocks, clear = TRUE, .auto_close = FALSE,
          .envir = frame,
          format = "{cli::pb_name}{cli::pb_bar}{cli::pb_status}"
        )
      }
      cli::cli_progress_update(
        set = block, id = bar$id, force = TRUE, .envir = frame,
        status = sprintf(" pass %d, block %d of %d", as.integer(pass),
                         as.integer(block) + 1L, n_blocks)
      )
    },
    done = function() {
      if (!is.null(bar$id)) cli::cli_progress_done(bar$id, .envir = frame)
      invisible()
    }
  )
}
