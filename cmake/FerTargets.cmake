# fer_floor(NAME [LOOPS] FOLDERS a b ... DEPENDS t ...): one static library of the sources in src/a, src/b, ...
# LOOPS: its code loops over elements or pixels, so a quick build also optimises it in full.
# A floor may depend only on floors below it, so an include of a higher floor does not link.

add_library(fer_options INTERFACE)
target_include_directories(fer_options INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_features(fer_options INTERFACE cxx_std_20)

# Flags for building fer itself, not for its users.
add_library(fer_build_flags INTERFACE)
target_compile_options(fer_build_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow -Wno-unknown-pragmas>
  # g++ 12 reports overlapping copies in std::string's own code where there are none (its bug 105651).
  $<$<AND:$<COMPILE_LANG_AND_ID:CXX,GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict>
  # On arm64, g++ notes that version 10 changed how some structures are passed. All of fer has one compiler.
  $<$<AND:$<COMPILE_LANG_AND_ID:CXX,GNU>,$<STREQUAL:${CMAKE_SYSTEM_PROCESSOR},aarch64>>:-Wno-psabi>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${FER_WARNINGS_AS_ERRORS}>>:-Werror>
  # -march=native would also tune for the detected processor. g++ 12 does not know the newest ones, and would then fold
  # loads into every multiplication.
  "$<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${FER_NATIVE}>>:-march=native;-mtune=generic>"
  # g++'s own AVX-512 headers use uninitialised values on purpose (its bug 105593).
  $<$<AND:$<COMPILE_LANG_AND_ID:CXX,GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>,$<BOOL:${FER_NATIVE}>>:-Wno-uninitialized$<SEMICOLON>-Wno-maybe-uninitialized>)
if(FER_SANITIZE)
  # With instrumented code, g++ wrongly reports members of the standard library as uninitialised.
  target_compile_options(fer_build_flags INTERFACE $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-maybe-uninitialized>
    "$<$<AND:$<COMPILE_LANGUAGE:CXX>,$<NOT:$<BOOL:$<TARGET_PROPERTY:FER_UNCHECKED>>>>:-fsanitize=${FER_SANITIZE};-fno-sanitize-recover=all;-fno-omit-frame-pointer;-g>")
  target_link_options(fer_build_flags INTERFACE -fsanitize=${FER_SANITIZE})
endif()
target_include_directories(fer_build_flags INTERFACE ${PROJECT_SOURCE_DIR}/src ${PROJECT_BINARY_DIR}/generated)

# fer_quick(TARGET [LOOPS]): if FER_QUICK is set, compiles the target in one piece (a third less work than in pieces of 12
# files) with little optimisation. Names in unnamed namespaces must therefore be unique within a floor.
# LOOPS: its code loops over elements or pixels, where training spends its time, so it stays fully optimised.
function(fer_quick target)
  if(FER_QUICK)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 0)
    if(NOT "LOOPS" IN_LIST ARGN)
      target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-O1>)
    endif()
  endif()
endfunction()

function(fer_floor name)
  cmake_parse_arguments(arg "LOOPS" "" "FOLDERS;DEPENDS" ${ARGN})
  set(sources)
  foreach(folder IN LISTS arg_FOLDERS)
    file(GLOB found CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${folder}/*.cpp)
    list(APPEND sources ${found})
  endforeach()
  if(NOT sources)
    message(FATAL_ERROR "fer: the floor ${name} has no sources in ${arg_FOLDERS}")
  endif()
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC fer_options ${arg_DEPENDS} PRIVATE $<BUILD_INTERFACE:fer_build_flags>)
  set(loops)
  if(arg_LOOPS)
    set(loops LOOPS)
  endif()
  fer_quick(${name} ${loops})
  # Users see the floor fer_core as fer::core.
  string(REGEX REPLACE "^fer_" "" component ${name})
  set_target_properties(${name} PROPERTIES EXPORT_NAME ${component})
  set_property(GLOBAL APPEND PROPERTY FER_COMPONENTS ${component})
endfunction()
