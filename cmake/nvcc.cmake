# nvcc.cmake - WH_NVCC and WH_CUDA_VERSION, such as 13000, when there is an nvcc that makes the GPU backends' kernels;
# without one these backends are left out.
set(WH_NVCC "" CACHE FILEPATH "nvcc for the GPU backends (empty: scripts/find-nvcc; NO: leave them out)")
if(WH_NVCC STREQUAL "" AND NOT CMAKE_CROSSCOMPILING)
  execute_process(COMMAND ${PROJECT_SOURCE_DIR}/scripts/find-nvcc OUTPUT_VARIABLE WH_NVCC
    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(WH_NVCC)
  execute_process(COMMAND ${WH_NVCC} --version OUTPUT_VARIABLE version ERROR_QUIET)
  if(version MATCHES "release ([0-9]+)\\.([0-9]+)")
    math(EXPR WH_CUDA_VERSION "${CMAKE_MATCH_1} * 1000 + ${CMAKE_MATCH_2} * 10")
    message(STATUS "CUDA backend: built with ${WH_NVCC}, CUDA ${CMAKE_MATCH_1}.${CMAKE_MATCH_2}")
  else()
    message(STATUS "CUDA backend: left out, as ${WH_NVCC} does not say its version")
    set(WH_NVCC "")
  endif()
else()
  message(STATUS "CUDA backend: left out, as there is no nvcc (scripts/setup cuda brings one)")
endif()
