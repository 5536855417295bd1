# Loading prints nothing and starts nothing: options, and word to reticulate
# which Python to take should anybody start one.

.onLoad <- function(libname, pkgname) {
  set_default_options()
  on_reticulate_load(choose_python)
}

.onUnload <- function(libpath) {
  library.dynam.unload("vigitensor", libpath)
}
