# cmake -DTOOLCHAIN=.. -DWORK=.. -P toolchain.cmake: what our toolchain file says to a project of vcpkg's kind, which loads
# it by way of vcpkg's own. There a port is built with vcpkg's flags besides; a project that uses vcpkg is built as ever.
cmake_minimum_required(VERSION 3.28)

file(REMOVE_RECURSE "${WORK}")
file(WRITE "${WORK}/scripts/buildsystems/vcpkg.cmake" [=[
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES VCPKG_TARGET_TRIPLET VCPKG_CHAINLOAD_TOOLCHAIN_FILE)
include("${VCPKG_CHAINLOAD_TOOLCHAIN_FILE}")
]=])
file(WRITE "${WORK}/scripts/toolchains/linux.cmake" [=[
if(NOT linux_cmake_was_read)
  set(linux_cmake_was_read TRUE)
  list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES VCPKG_TARGET_ARCHITECTURE VCPKG_CXX_FLAGS)
  set(CMAKE_SYSTEM_NAME Linux CACHE STRING "")
  if(VCPKG_TARGET_ARCHITECTURE STREQUAL "x64")
    set(CMAKE_SYSTEM_PROCESSOR x86_64 CACHE STRING "")
  endif()
  string(APPEND CMAKE_CXX_FLAGS_INIT " -fPIC ${VCPKG_CXX_FLAGS} ")
endif()
]=])
file(WRITE "${WORK}/CMakeLists.txt" [=[
cmake_minimum_required(VERSION 3.28)
project(app CXX)
file(WRITE "${CMAKE_BINARY_DIR}/says" "${CMAKE_CXX_FLAGS};${CMAKE_SYSTEM_PROCESSOR};${CMAKE_CXX_COMPILER_ID}")
]=])

function(expect kind flags)
  execute_process(
    COMMAND ${CMAKE_COMMAND} -S "${WORK}" -B "${WORK}/${kind}" -G Ninja -DVCPKG_TARGET_TRIPLET=x64-linux-clang
            "-DCMAKE_TOOLCHAIN_FILE=${WORK}/scripts/buildsystems/vcpkg.cmake" "-DVCPKG_CHAINLOAD_TOOLCHAIN_FILE=${TOOLCHAIN}"
            ${ARGN}
    COMMAND_ERROR_IS_FATAL ANY)
  file(READ "${WORK}/${kind}/says" says)
  string(REGEX REPLACE " +(;|$)" "\\1" says "${says}")
  cmake_host_system_information(RESULT processor QUERY OS_PLATFORM)
  if(NOT says STREQUAL "${flags};${processor};Clang")
    message(SEND_ERROR "a ${kind} is told: ${says}")
  endif()
endfunction()
expect(port "-stdlib=libc++ -fPIC -g1" -DVCPKG_TARGET_ARCHITECTURE=x64 -DVCPKG_CXX_FLAGS=-g1)
expect(project "-stdlib=libc++")
