# Says in one sentence why this CMake run cannot build C++ modules with <mdspan>, in buffers_cannot_build, and stops
# there unless the includer wants to say it in its own way (buffers_ASK). buffers_standard_library is then libc++,
# libstdc++ or another one.
set(buffers_cannot_build "")
set(buffers_standard_library "")
if(NOT CMAKE_GENERATOR MATCHES "^Ninja")
  set(buffers_cannot_build "only the Ninja generators build it: cmake -G Ninja, not ${CMAKE_GENERATOR}")
elseif(NOT CMAKE_CXX_COMPILER_ID)
  set(buffers_cannot_build "CXX is not among the languages of the project")
elseif(NOT (CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 20
            OR CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 16))
  set(buffers_cannot_build "it needs Clang 20 or GCC 16, or newer, not ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
elseif(CMAKE_CXX_STANDARD AND (CMAKE_CXX_STANDARD LESS 23 OR CMAKE_CXX_STANDARD EQUAL 98))
  set(buffers_cannot_build
      "CMAKE_CXX_STANDARD is ${CMAKE_CXX_STANDARD}: set it to 23 before find_package or add_subdirectory")
else()
  include(CheckCXXSourceCompiles)
  set(_buffers_flags "${CMAKE_REQUIRED_FLAGS}")
  # The answers hold for these options only: -stdlib=libc++ may come with the next run.
  set(_buffers_asked_with "${CMAKE_CXX_FLAGS} ${CMAKE_REQUIRED_FLAGS}")
  if(NOT BUFFERS_ASKED_WITH STREQUAL _buffers_asked_with)
    unset(BUFFERS_HAVE_MDSPAN CACHE)
    unset(BUFFERS_WITH_LIBCXX CACHE)
    set(BUFFERS_ASKED_WITH "${_buffers_asked_with}" CACHE INTERNAL "The options of BUFFERS_HAVE_MDSPAN")
  endif()
  set(CMAKE_REQUIRED_FLAGS "${_buffers_flags} -std=c++23")
  check_cxx_source_compiles("#include <mdspan>\nint main() { return std::mdspan<int, std::dextents<int, 1>>().rank() != 1; }"
                            BUFFERS_HAVE_MDSPAN)
  if(BUFFERS_HAVE_MDSPAN)
    check_cxx_source_compiles("#include <version>\nint main() { return _LIBCPP_VERSION == 0; }" BUFFERS_WITH_LIBCXX)
    if(BUFFERS_WITH_LIBCXX)
      set(buffers_standard_library "libc++")
    else()
      set(buffers_standard_library "libstdc++")
    endif()
  else()
    unset(BUFFERS_HAVE_MDSPAN CACHE) # a library may be installed before the next run
    set(buffers_cannot_build "it needs a standard library with <mdspan>: libc++ 18 (-stdlib=libc++) or libstdc++ 16, or newer")
  endif()
  set(CMAKE_REQUIRED_FLAGS "${_buffers_flags}")
endif()
if(buffers_cannot_build AND NOT buffers_ASK)
  message(FATAL_ERROR "buffers is a C++ module: ${buffers_cannot_build}.")
endif()
