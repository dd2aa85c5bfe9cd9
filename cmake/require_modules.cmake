# Says in one sentence why this CMake run cannot build C++ modules with <mdspan>, in buffers_cannot_build, and stops
# there unless the includer wants to say it in its own way (buffers_ASK).
set(buffers_cannot_build "")
if(NOT CMAKE_GENERATOR MATCHES "^Ninja")
  set(buffers_cannot_build "only the Ninja generators build it: cmake -G Ninja, not ${CMAKE_GENERATOR}")
elseif(NOT (CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 20
            OR CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 16))
  set(buffers_cannot_build "it needs Clang 20 or GCC 16, or newer, not ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
else()
  include(CheckCXXSourceCompiles)
  set(_buffers_flags "${CMAKE_REQUIRED_FLAGS}")
  set(CMAKE_REQUIRED_FLAGS "${_buffers_flags} -std=c++23")
  check_cxx_source_compiles("#include <mdspan>\nint main() { return std::mdspan<int, std::dextents<int, 1>>().rank() != 1; }"
                            BUFFERS_HAVE_MDSPAN)
  set(CMAKE_REQUIRED_FLAGS "${_buffers_flags}")
  if(NOT BUFFERS_HAVE_MDSPAN)
    set(buffers_cannot_build "it needs a standard library with <mdspan>: libc++ 18 (-stdlib=libc++) or libstdc++ 16, or newer")
  endif()
endif()
if(buffers_cannot_build AND NOT buffers_ASK)
  message(FATAL_ERROR "buffers is a C++ module: ${buffers_cannot_build}.")
endif()
