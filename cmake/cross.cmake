# Toolchain of the presets aarch64 and riscv64: Debian's cross compiler, libraries that scripts/cross-libraries unpacked,
# and qemu-user to run what was built. The preset sets WH_CROSS to the architecture.
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES WH_CROSS)
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR ${WH_CROSS})
set(CMAKE_C_COMPILER ${WH_CROSS}-linux-gnu-gcc)

get_filename_component(root ${CMAKE_CURRENT_LIST_DIR}/../build/root-${WH_CROSS} ABSOLUTE)
if(NOT EXISTS ${root}/complete)
  message(FATAL_ERROR "${root} has no libraries for ${WH_CROSS}: run scripts/setup cross")
endif()
set(CMAKE_SYSROOT ${root})
set(CMAKE_FIND_ROOT_PATH ${root})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_LIBRARY_ARCHITECTURE ${WH_CROSS}-linux-gnu)
# The compiler has a C library of its own, which it would look for first.
set(CMAKE_EXE_LINKER_FLAGS_INIT -L${root}/usr/lib/${CMAKE_LIBRARY_ARCHITECTURE})
set(CMAKE_SHARED_LINKER_FLAGS_INIT ${CMAKE_EXE_LINKER_FLAGS_INIT})
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${root})
set(ENV{PKG_CONFIG_LIBDIR} ${root}/usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/pkgconfig:${root}/usr/share/pkgconfig)

# QEMU_CPU in the environment chooses the processor; without it qemu has every feature that it knows.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-${WH_CROSS} -L ${root})
