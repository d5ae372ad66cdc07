# gpu_images.cmake - wh_gpu_images(PREFIX SUFFIX OUT COMMAND...): what a provider's compiler makes of each kernels/<module>.cu,
# held by a C source whose name goes into OUT, as objects PREFIX<module>. In the command, @source@ and @image@ stand for the
# files, @depfile@ for the dependencies that it writes. Without a command the objects are empty.
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
      string(REPLACE "@depfile@" "${image}.d" command "${command}")
      add_custom_command(OUTPUT ${image} DEPENDS ${source} DEPFILE ${image}.d VERBATIM COMMAND ${command}
        COMMENT "Compiling ${module}.cu to ${module}.${suffix}")
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
