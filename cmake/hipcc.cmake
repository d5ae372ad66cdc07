# hipcc.cmake - WH_HIPCC, when there is a hipcc that makes the GPU backends' kernels for AMD; without one the HIP backend is
# built for tests only, where the host runs the kernels.
find_program(WH_HIPCC hipcc DOC "hipcc for the HIP backend (NO: leave it out)")
if(WH_HIPCC AND NOT CMAKE_CROSSCOMPILING)
  message(STATUS "HIP backend: built with ${WH_HIPCC}")
else()
  message(STATUS "HIP backend: left out, as there is no hipcc (Debian's package hipcc brings one)")
  set(WH_HIPCC "")
endif()
