"""Links to servers, rank 4: HTTPS, enrolment, NTP. Nothing is imported before it is used."""
