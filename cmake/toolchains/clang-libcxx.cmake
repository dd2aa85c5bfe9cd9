# Clang 22 with libc++. BUFFERS_SANITIZER (for example address,undefined) and BUFFERS_MARCH (for example native) hold for
# every object.
include_guard() # CMake reads it twice, and vcpkg appends to the flags
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
if(VCPKG_TARGET_ARCHITECTURE) # vcpkg builds a port, with flags of its own; a project that uses vcpkg is not told this
  get_filename_component(_buffers_vcpkg "${CMAKE_PARENT_LIST_FILE}/../.." ABSOLUTE)
  include("${_buffers_vcpkg}/toolchains/linux.cmake")
endif()
