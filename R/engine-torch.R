# Engine "torch": where it computes and how much memory it may take.

# What an engine function is told about the engine; nothing for "cpu".
engine_options <- function(engine) {
  if (engine != "torch") return(list())
  c(list(engine = "torch", device = option_device()), option_memory())
}

option_device <- function() {
  device <- getOption("vigitensor.device", "auto")
  ok <- is.character(device) && length(device) == 1L && !is.na(device) &&
    grepl("^(auto|cpu|cuda(:[0-9]+)?)$", device)
  if (!ok) {
    abort_input(
      paste("Option `vigitensor.device` must be \"auto\", \"cpu\", \"cuda\" or",
            "a numbered GPU like \"cuda:1\"."),
      x = sprintf("It is %s.", first_line(deparse(device)[1L])),
      i = "options(vigitensor.device = \"auto\") takes a GPU if there is one.",
      code = "option", arg = "vigitensor.device"
    )
  }
  device
}

# list(), or the memory as the engine wants it.
option_memory <- function() {
  memory <- getOption("vigitensor.memory_mb")
  if (is.null(memory)) return(list())
  ok <- is.numeric(memory) && length(memory) == 1L && is.finite(memory) &&
    memory >= 64
  if (!ok) {
    abort_input(
      paste("Option `vigitensor.memory_mb` must be one number of megabytes, at",
            "least 64, or NULL."),
      x = sprintf("It is %s.", first_line(deparse(memory)[1L])),
      i = "NULL takes a quarter of what is free on the device.",
      code = "option", arg = "vigitensor.memory_mb"
    )
  }
  list(memory_mb = as.double(memory))
}

# Whether the engine's Python has torch; looked up without importing it.
torch_version <- function() {
  if (engine_available()) engine_report()$torch
}

# What a result remembers of torch.
torch_record <- function(engine) {
  if (engine == "torch") list(torch = torch_version(), device = option_device())
}

abort_no_torch <- function(call = NULL) {
  abort_input(
    "Engine \"torch\" needs the Python package torch, which is not installed.",
    i = "`install_engine(gpu = TRUE)` installs it; on Linux several gigabytes.",
    i = "Engine \"cpu\" needs nothing further.",
    code = "no_torch", arg = "engine", call = call
  )
}
