# gpu_images.cmake - wh_gpu_images(PREFIX SUFFIX OUT COMMAND...): what a provider's compiler makes of each kernels/<module>.cu,
# held by a C source whose name goes into OUT, as objects PREFIX<module>. In the command, @source@ and @image@ stand for the
# files, @depfile@ for the dependencies that it writes, @arch@ for what nvcc compiles the module for. Without a command the objects are empty.
# WH_GPU_IMAGES: another build of the same sources, whose images are taken as they are: they do not depend on the preset, and
# compiling them takes minutes. It stays in the cache of the build that was given it: -U WH_GPU_IMAGES ends it.
set(WH_GPU_IMAGES "" CACHE PATH "A build folder whose GPU images are taken, where it has them")
function(wh_gpu_images prefix suffix out)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/backends/gpu/kernels/*.cu)
  set(text "/* Written by CMake. */\n")
  set(images "")
  foreach(source ${sources})
    cmake_path(GET source STEM module)
    set(image ${CMAKE_CURRENT_BINARY_DIR}/${module}.${suffix})
    set(symbol ${prefix}${module})
    set(bytes "")
    if(ARGN)
      string(REPLACE "@source@" "${source}" command "${ARGN}")
      string(REPLACE "@image@" "${image}" command "${command}")
      set(arch compute_80)
      if(module MATCHES "_warpgroup_")
        set(arch compute_90a)
      endif()
      string(REPLACE "@arch@" "${arch}" command "${command}")
      string(REPLACE "@depfile@" "${image}.d" command "${command}")
      cmake_path(RELATIVE_PATH image BASE_DIRECTORY ${PROJECT_BINARY_DIR} OUTPUT_VARIABLE within)
      if(WH_GPU_IMAGES AND EXISTS ${WH_GPU_IMAGES}/${within})
        add_custom_command(OUTPUT ${image} DEPENDS ${WH_GPU_IMAGES}/${within} VERBATIM
          COMMAND ${CMAKE_COMMAND} -E copy ${WH_GPU_IMAGES}/${within} ${image} COMMENT "Taking ${module}.${suffix}")
      else()
        add_custom_command(OUTPUT ${image} DEPENDS ${source} DEPFILE ${image}.d VERBATIM COMMAND ${command}
          COMMENT "Compiling ${module}.cu to ${module}.${suffix}")
      endif()
      list(APPEND images ${image})
      set(bytes ".incbin \\\"${image}\\\"\\n")
    endif()
    # Of 4096: code objects are read in place.
    string(APPEND text "__asm__(\".section .rodata\\n.balign 4096\\n.globl ${symbol}\\n.hidden ${symbol}\\n\"\n"
      "        \"${symbol}:\\n${bytes}.byte 0\\n.previous\");\n")
  endforeach()
  string(APPEND text "typedef int not_empty;\n")
  file(CONFIGURE OUTPUT ${prefix}${suffix}.c CONTENT "${text}" @ONLY)
  set(written ${CMAKE_CURRENT_BINARY_DIR}/${prefix}${suffix}.c)
  set_source_files_properties(${written} PROPERTIES OBJECT_DEPENDS "${images}")
  set(${out} ${written} PARENT_SCOPE)
endfunction()
