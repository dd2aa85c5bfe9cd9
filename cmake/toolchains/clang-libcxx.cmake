# Clang 22 with libc++. BUFFERS_SANITIZER (for example address,undefined) and BUFFERS_MARCH (for example native) hold for
# every object.
set(CMAKE_C_COMPILER clang-22)
set(CMAKE_CXX_COMPILER clang++-22)
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES BUFFERS_SANITIZER BUFFERS_MARCH)
set(_buffers_flags "")
if(BUFFERS_SANITIZER)
  string(APPEND _buffers_flags " -fsanitize=${BUFFERS_SANITIZER} -fno-sanitize-recover=undefined -fno-omit-frame-pointer")
endif()
if(BUFFERS_MARCH)
  string(APPEND _buffers_flags " -march=${BUFFERS_MARCH}")
endif()
set(CMAKE_C_FLAGS_INIT "${_buffers_flags}")
set(CMAKE_CXX_FLAGS_INIT "-stdlib=libc++${_buffers_flags}")
if(VCPKG_TARGET_TRIPLET) # loaded by vcpkg, which has flags of its own
  include("${CMAKE_TOOLCHAIN_FILE}/../../toolchains/linux.cmake")
endif()
