# fer_backend_overrides(HEADER FOLDER): generates code from the list of functions in backend.h, so that the list exists
# only there. FOLDER/backend_overrides.inc declares an override of each pure virtual function, for the class of a
# device. FOLDER/idle_backend.inc defines each function that returns nothing with an empty body.
# Without a build: cmake -DHEADER=... -DFOLDER=... -P cmake/FerBackend.cmake
function(fer_backend_overrides header folder)
  if(NOT CMAKE_SCRIPT_MODE_FILE)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${header})
  endif()
  file(READ ${header} text)
  string(REGEX REPLACE "//[^\n]*" "" text "${text}")
  string(REPLACE "= 0;" "@" text "${text}")  # a semicolon would separate list elements
  string(REGEX MATCHALL "virtual [^;{}@]*@" functions "${text}")
  set(overrides "")
  set(idle "")
  foreach(declaration IN LISTS functions)
    string(REGEX REPLACE "virtual ([^@]*) @" "\\1" signature "${declaration}")
    string(REGEX REPLACE "[ \n]+" " " signature "${signature}")
    string(APPEND overrides "${signature} override;\n")
    if(signature MATCHES "^void [a-z]")
      string(APPEND idle "${signature} override {}\n")
    endif()
  endforeach()
  file(CONFIGURE OUTPUT ${folder}/backend_overrides.inc CONTENT "${overrides}" @ONLY)
  file(CONFIGURE OUTPUT ${folder}/idle_backend.inc CONTENT "${idle}" @ONLY)
endfunction()

if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  fer_backend_overrides(${HEADER} ${FOLDER})
endif()
